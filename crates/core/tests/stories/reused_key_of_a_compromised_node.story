# A kept key that a compromised node could read is not kept.
cert example.com reuse
nodes a b c
start all
run 1m
note key
remove c compromised
run 5m
expect key other
expect verified a,b
expect safe yes
