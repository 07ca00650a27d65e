# A crash between newOrder and its compare-and-swap: the CA gives the same order again.
cert example.com
nodes a b c
start all
crash after call new-order
run 30s
expect issued 1
expect orders 1
expect verified all
