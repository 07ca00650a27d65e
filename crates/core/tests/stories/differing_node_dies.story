# The one node with the old configuration is shut down: the others agree once it counts as gone.
cert example.com
nodes a b c
start all
run 1m
config a cert example.com names=example.com,new.example.com
config b cert example.com names=example.com,new.example.com
run 5m
expect generation 1
crash c
run 5m
expect generation 2
expect verified a,b
