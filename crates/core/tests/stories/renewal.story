# Renewed at about a third of the life left, and again; the number rises.
cert example.com
nodes a b c
start all
run 58d
expect generation 1
run 3d
expect generation 2
expect verified all
run 60d
expect generation 3
expect issued 3
expect verified all
