# The CA answers 503 from finalize on and comes back within a day: the same attempt goes on.
cert example.com
nodes a b
start all
crash after call finalize
run 1s
ca busy
run 3h
expect issued 0
expect attempt finalizing
ca works
run 2h
expect issued 1
expect orders 1
expect generation 1
