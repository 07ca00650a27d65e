# A rebuilt machine takes its old name with a token that says so; what the old one wrote of certificates is vouched for again, so that nodes that start later take it for good.
cert example.com
nodes a b
start all
run 1m
invite plain for=b
invite again for=b replace
crash b
come b with plain
start b
run 1m
expect member b no
come b with again
start b
run 1m
expect member b yes
expect verified a,b
invite T for=web-* roles=deploy
come web-1 with T
start web-1
run 1m
expect verified a,b,web-1
expect safe yes
expect issued 1
