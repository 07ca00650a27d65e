# The fleet moves to another store: nobody orders or writes here any more, a holder that stood still adds nothing, restarts do not help.
cert example.com
nodes a b c
start all
run 1m
expect issued 1
renew example.com
pause before write ordered
run 2s
expect orders 2
home left by a
run 1s
resume all
run 1m
expect issued 1
expect orders 2
crash all
start all
run 30d
expect issued 1
expect orders 2
