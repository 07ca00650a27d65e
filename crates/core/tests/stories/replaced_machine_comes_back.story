# A machine that was replaced asks again with its own token, whose use was counted, also after a restart of everybody: its successor stays.
cert example.com
nodes a b
start all
run 1m
invite old for=web-1 roles=deploy replace
invite new for=web-1 roles=deploy replace
come web-1 with old
start web-1
run 1m
crash web-1
come web-1 with new
start web-1
run 1m
expect member web-1 yes
replay joining/web-1 1
run 1m
expect member web-1 yes
expect verified a,b,web-1
expect safe yes
