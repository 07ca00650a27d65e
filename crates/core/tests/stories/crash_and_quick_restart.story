# The holder is back at once, as a new life: whoever goes first goes on, without waiting for a time-out.
cert example.com
nodes a b c
start all
crash after call ready
run 500ms
start all
run 20s
expect issued 1
expect orders 1
expect verified a,b,c
