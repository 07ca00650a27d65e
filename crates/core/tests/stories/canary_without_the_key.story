# The canary came while the key was made and cannot open it, and the others, who could, wait for the canary: they wrap it before they install it.
cert example.com canary=1
nodes a b
start all
run 4m
invite T for=web-* roles=deploy
come web-1 with T
start web-1
renew example.com
run 1m
expect generation 2
expect verified a,b,web-1
expect safe yes
