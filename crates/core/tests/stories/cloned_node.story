# A machine is copied, disk and all: the one that was first sees its presence changed by another, stops driving and says so.
cert example.com
nodes a b c
start all
run 1m
clone b as b2
run 5m
renew example.com
run 1m
expect generation 2
expect verified a,b,b2,c
