# One node hears of new members half a minute late: it does not put right what an honest new member wrote meanwhile.
cert example.com
nodes a b
start all
run 1m
slow a nodes 30s
invite T for=c
come c with T
start c
run 5s
cut a from ca
cut b from ca
renew example.com
run 20s
mend a
mend b
expect generation 2
expect verified a,b,c
run 1m
expect issued 2
expect safe yes
