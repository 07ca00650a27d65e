# The holder dies in the middle of an order; another node finishes the same order within seconds. The dead one comes back and installs.
cert example.com
nodes a b c
start all
crash after write ordered
run 30s
expect issued 1
expect orders 1
expect generation 1
expect verified all
start all
run 30s
expect verified a,b,c
expect issued 1
