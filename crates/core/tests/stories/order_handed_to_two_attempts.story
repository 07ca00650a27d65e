# The CA gave one order to two attempts and the other was faster: the leaf has another's key. A new attempt at once, no failure counted.
cert example.com
nodes a b c
start all
ca hands over
run 1m
expect generation 2
expect failures 0
expect issued 2
expect verified all
