# A certificate that is placed on no joined node is not ordered; it is when such a node joins.
cert example.com nodes=w*
nodes a b
start all
run 1h
expect orders 0
join w1
start w1
run 10s
expect issued 1
expect verified w1
