# Last month's records stand there again, one after the other: they are known to be old, also by nodes that start now.
cert example.com
nodes a b
start all
run 1m
renew example.com
run 1m
replay certs/example.com 2
run 1m
expect generation 2
crash all
replay certs/example.com 5
replay accounts/@key 1
start all
run 1m
expect generation 2
expect verified a,b
expect issued 2
expect safe yes
