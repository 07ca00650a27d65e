# A machine that comes with a token long after the issue gets the key from one that has it; nothing is issued anew.
cert example.com
nodes a b
start all
run 1m
note key
invite T for=web-* roles=deploy
come web-1 with T
start web-1
run 1m
expect member web-1 yes
expect opens web-1 yes
expect verified a,b,web-1
expect issued 1
expect key same
expect safe yes
