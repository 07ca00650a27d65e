# The holder dies and garbage is put over its presence: it is judged gone as ever, and nobody reads that again and again.
cert example.com
nodes a b c
start all
run 200ms
crash b
store spoil presence/b
run 30s
expect generation 1
expect issued 1
start b
run 1m
expect verified a,b,c
expect safe yes
