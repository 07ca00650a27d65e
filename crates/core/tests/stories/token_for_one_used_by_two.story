# Two machines come with a token for one at the same moment: one is let in, whoever admits them.
cert example.com
nodes a b
start all
run 1m
invite T for=web-* roles=deploy uses=1
come web-1 with T
come web-2 with T
start web-1,web-2
run 1m
expect members a,b,web-2
expect verified a,b,web-2
expect safe yes
