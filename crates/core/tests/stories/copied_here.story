# Machines that were pointed at a copy too early order nothing; when it is whole they go on. Whoever takes the word away again is put right.
cert example.com
nodes a b c
start all
run 1m
expect issued 1
home arriving by a
run 61d
expect issued 1
home here by a
run 1m
expect issued 2
expect verified all
store delete home
run 1m
renew example.com
run 1m
expect issued 3
crash all
store delete home
start all
run 1m
renew example.com
run 1m
expect issued 4
expect verified all
