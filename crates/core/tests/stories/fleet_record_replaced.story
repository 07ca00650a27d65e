# The fleet's record is replaced by an older one, another fleet's and garbage: each time the last one is put back.
cert example.com
nodes a b c
start all
run 1m
remove c
run 1m
replay fleet 1
run 1m
expect member c no
forge fleet by c removals=[]
run 1m
forge fleet unsigned id=other
run 1m
store spoil fleet
run 1m
renew example.com
run 1m
expect generation 2
expect verified a,b
expect safe yes
