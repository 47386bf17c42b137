# The first process of the node's namespaces: containerd and the kubelet, on a machine that neither can change. Arguments: the
# node's folder, the only one that can be written to; the kubelet's flags.
set -eu
node=$1
shift

mount --bind "$node" "$node"
mount -o remount,bind,ro /
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var
# The kubelet sets these, and ends if it cannot; all others cannot be set.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes
do
	mkdir -p "$node/sys/${name%/*}"
	cat "/proc/sys/$name" > "$node/sys/$name"
	mount --bind "$node/sys/$name" "/proc/sys/$name"
done

export TMPDIR="$node/tmp"
containerd --config "$node/containerd.toml" > "$node/containerd.log" 2>&1 &
until ctr --address /run/containerd/containerd.sock version > /dev/null 2>&1
do
	kill -0 $! || { tail -n 5 "$node/containerd.log"; exit 1; }
	sleep 0.05
done
ctr --address /run/containerd/containerd.sock --namespace k8s.io images import "$node/images.tar"
kubelet "$@" &
wait $!
