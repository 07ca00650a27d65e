# Somebody who can write the store changes fields of every record that is never removed: nobody acts on it, and all is put right.
cert example.com
nodes a b c
start all
run 1m
forge certs/example.com unsigned placed.placement.generation=7 placed.placement.seq=7
forge accounts/ca unsigned thumbprint=stranger
forge accounts/@key unsigned thumbprint=stranger
forge fleet unsigned removals.0=x epoch=4
forge nodes/b unsigned signing_key=x
forge nodes/c unsigned granted=[]
run 1m
expect verified a,b,c
expect account thumbprint-1
expect issued 1
expect safe yes
forge certs/example.com unsigned change=18446744073709551615
run 1m
replay certs/example.com 2
run 1m
renew example.com
run 1m
expect generation 2
expect safe yes
