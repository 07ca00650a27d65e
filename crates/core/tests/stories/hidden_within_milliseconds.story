# A record is written over in the same moment in which it was written: the nodes hear of their own write last, and find out when they list everything again.
cert example.com
nodes a b c
start all
run 61ms
forge accounts/ca unsigned thumbprint=stranger
mend all
run 2h
expect verified a,b,c
expect safe yes
