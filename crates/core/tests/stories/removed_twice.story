# A removal is hidden before any node has read it, and given again; then one node reads the first one and another the second. Both say the same, and all come to keep one of them.
cert example.com
nodes a b c
start all
run 1m
crash all
remove c
replay fleet 1
remove c
replay fleet 2
start a
run 1m
crash a
replay fleet 4
start b
run 1m
start a
run 1m
expect members a,b
expect safe yes
