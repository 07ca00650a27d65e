# Certificates of six days are renewed at half of their life.
cert example.com
nodes a b
ca lifetime 6d
start all
run 70h
expect generation 1
run 4h
expect generation 2
run 26d
expect verified all
expect issued 10
