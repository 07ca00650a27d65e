# Keys and wraps that do not open are no way to a key, and hinder nobody for long.
cert example.com nodes=w*
nodes a w1=deploy w2=deploy db=deploy
start a,w1,db
run 1m
forge presence/db by db lacks=["SPKI"]
run 1m
expect opens db no
expect opens a no
expect opens w2 yes
start w2
run 1m
expect verified w1,w2
expect safe yes
