# A backup is restored by the word of the fleet key: what it holds counts though it is older, who was removed stays removed, tokens from before are void.
cert example.com
nodes a b c
start all
run 1m
store save
run 5d
renew example.com
run 1m
remove c
invite T for=web-* roles=deploy
store restore epoch
run 5m
expect generation 1
expect member c no
come web-1 with T
start web-1
run 5m
expect member web-1 no
renew example.com
run 1m
expect generation 3
expect verified a,b
expect safe yes
