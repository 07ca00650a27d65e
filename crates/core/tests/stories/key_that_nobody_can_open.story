# The only node that can open the key is removed: the three others say that they lack it, each with beats of its own, and a new key is made.
cert example.com
nodes a b c d
start b
run 1m
break wrap of example.com for a
break wrap of example.com for c
break wrap of example.com for d
note key
crash b
start a
run 20s
start c
run 20s
start d
run 30s
remove b
run 2m
expect verified a,c,d
expect key other
expect issued 2
expect safe yes
