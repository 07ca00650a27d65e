# A compromised node had the role issue: the account gets a new key, once, and every certificate that the node could read a new one.
cert example.com
nodes a b c
start all
run 1m
expect account thumbprint-1
remove c compromised
run 10m
expect account thumbprint-6
expect generation 2
expect verified a,b
expect safe yes
run 5d
expect account thumbprint-6
expect issued 2
