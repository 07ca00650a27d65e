# A token that has expired lets nobody in, however long the machine asks; one that was used in time stays good for its machine.
cert example.com
nodes a b
start all
run 1m
invite T for=web-* roles=deploy expires=1h uses=2
come web-1 with T
run 2h
come web-2 with T
start web-1,web-2
run 1h
expect members a,b,web-1
