# A rebuilt machine asks for its old name, whose record somebody spoiled and nobody who is there ever read: it is let in after a while, and the fleet goes on.
cert example.com
nodes a b
start b
run 1m
crash b
invite again for=b replace
forge nodes/b unsigned granted=[]
come b with again
start b
start a
run 5m
expect member b no
run 15m
expect member b yes
expect verified a,b
expect safe yes
