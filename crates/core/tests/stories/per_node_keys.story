# Each node has a key that never leaves it; the one node with the role issue gets all the certificates.
cert example.com per-node
nodes a=issue b=deploy c=deploy d=deploy
start all
run 2m
expect certificates example.com@b,example.com@c,example.com@d
expect verified b of example.com@b
expect verified c of example.com@c
expect opens a no of example.com@b
expect opens c no of example.com@b
expect issued 3
join e=deploy
start e
run 1m
expect verified e of example.com@e
expect issued 4
remove c
run 1m
expect certificates example.com@b,example.com@d,example.com@e
run 70d
expect issued 7
expect safe yes
