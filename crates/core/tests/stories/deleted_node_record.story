# A node's record is taken away, and a stranger with a token for such names asks for its name: the record is put back, the stranger stays out.
cert example.com
nodes a web-1
start all
run 1m
invite T for=web-* roles=deploy uses=5
store delete nodes/web-1
come thief as web-1 with T
start thief
run 2m
expect member thief no
expect member web-1 yes
expect verified a,web-1
expect safe yes
