# Somebody who has a removed node's keys and can write the store hides the removal from a node that was away, which believes what he writes; when it hears of the removal, all agree again.
cert example.com
nodes a b c
start all
run 1m
cut b from store
remove c compromised
run 100ms
forge certs/example.com by c placed.placement.seq=9
forge fleet unsigned epoch=7
mend b
run 1m
expect members a,b
expect verified a,b
expect safe yes
