# A compromised node with the role issue made the key of a certificate that was never placed on it: that key is made anew too.
cert example.com nodes=w*
nodes a c web-1=deploy
start a,web-1
run 1m
expect generation 1
note key
start c
run 1m
remove a compromised
run 10m
expect key other
expect generation 2
expect safe yes
run 5d
expect issued 2
