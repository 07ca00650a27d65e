# The holder is stopped in the middle of a call and goes on when another has taken over and is not done: both drive one order.
cert example.com
nodes a b c
start all
pause before call ready
run 6300ms
resume all
run 30s
expect issued 1
expect orders 1
expect verified a,b,c
