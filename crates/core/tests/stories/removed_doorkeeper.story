# The node that let another in is removed: the one that it let in stays in, also for nodes that start later.
cert example.com
nodes a c
start c
run 1m
invite T for=web-*
come web-1 with T
start web-1
run 1m
start a
run 1m
remove c
run 1m
invite U for=db-*
come db-1 with U
start db-1
run 1m
expect members a,db-1,web-1
expect verified a,db-1,web-1
expect safe yes
