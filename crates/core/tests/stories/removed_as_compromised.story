# A node that somebody else may have is removed: what it could read is made anew with fresh keys, once, and nothing else is.
cert example.com
cert internal.example nodes=a
nodes a b web-1=deploy
start all
run 1m
note key
expect opens web-1 yes
remove web-1 compromised
run 10m
expect key other
expect opens web-1 no
expect generation 2
expect generation 1 of internal.example
expect account thumbprint-1
expect verified a,b
expect safe yes
run 5d
expect issued 3
