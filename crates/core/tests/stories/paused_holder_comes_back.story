# The holder is stopped right before it would finalize, for an hour. Another node finishes; what the first still does changes nothing.
cert example.com
nodes a b c
start all
pause before call finalize
run 1h
expect issued 1
expect generation 1
resume all
run 1m
expect issued 1
expect orders 1
expect verified a,b,c
