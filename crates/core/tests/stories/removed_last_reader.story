# The only node that can open the key is removed: the other says that it lacks it, and a new key is made.
cert example.com
nodes a b
start b
run 1m
break wrap of example.com for a
note key
crash b
start a
run 30s
remove b
run 2m
expect verified a
expect key other
expect issued 2
expect safe yes
