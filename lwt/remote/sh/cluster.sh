# The end of sample.sh and probe.sh for a login node of a cluster.
#
# last argument  the partition; empty: the default one
for partition do :; done
take_cluster "$partition"
