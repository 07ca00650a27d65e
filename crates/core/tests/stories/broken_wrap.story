# A wrap that its reader cannot open is made again by one that has the key; nothing is issued anew.
cert example.com
nodes a b c
start a,b
run 1m
break wrap of example.com for c
start c
run 1m
expect verified a,b,c
expect issued 1
expect safe yes
