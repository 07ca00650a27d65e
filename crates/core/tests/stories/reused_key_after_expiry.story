# The fleet is off until the certificate has expired. Its chain is of no use to anybody, its key is: who starts again finds that it can open the key, and asks with it.
cert example.com reuse
nodes a b
start all
run 1m
note key
stop all
run 100d
start all
run 5m
expect generation 2
expect key same
expect verified all
expect safe yes
