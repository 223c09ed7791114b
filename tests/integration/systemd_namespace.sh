#!/bin/sh
# The inner half of systemd_namespace.py: become PID 1 of the namespaces we are in, as systemd.
#   systemd_namespace.sh DIRECTORY NOTIFY [SHOWN...]
# The root is the machine's own below a layer in memory. DIRECTORY/bus is /run/dbus inside, so that
# the system bus can be reached from outside, and NOTIFY the socket that hears READY=1. Each SHOWN
# is bound into it: it may be on another file system, or change later.
set -eu
directory=$1
notify=$2
shift 2

ip link set lo up
layers=$directory/layers
mkdir -p "$layers" "$directory/bus"
mount -t tmpfs -o mode=755 tmpfs "$layers"
mkdir "$layers/changed" "$layers/work" "$layers/root"
chmod 755 "$layers/changed"
mount -t overlay -o "lowerdir=/,upperdir=$layers/changed,workdir=$layers/work" overlay "$layers/root"
cd "$layers/root"

mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys || mount --rbind -o ro /sys sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/dbus run/lock run/log/journal outside
mount --bind "$directory/bus" run/dbus
mount -t tmpfs -o mode=1777 tmpfs tmp
touch run/notify
mount --bind "$notify" run/notify
for shown in "$@"; do
    mkdir -p "./$shown"
    mount --bind "$shown" "./$shown"
done

# no unit of the machine is started, and what costs time or touches the machine cannot be
units=etc/systemd/system
find "$units" -mindepth 1 -delete
cat > "$units/test.target" <<END
[Unit]
Description=A systemd for a test
DefaultDependencies=no
Requires=dbus.socket
Wants=dbus.service
END
for unit in systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service \
    systemd-modules-load.service systemd-sysusers.service systemd-sysctl.service \
    systemd-binfmt.service systemd-remount-fs.service systemd-update-utmp.service \
    systemd-journal-flush.service systemd-udevd.service systemd-udev-trigger.service \
    systemd-timesyncd.service systemd-ask-password-console.path modprobe@.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount cryptsetup.target integritysetup.target veritysetup.target; do
    ln -s /dev/null "$units/$unit"
done
tr -d - < /proc/sys/kernel/random/uuid > etc/machine-id
echo test > etc/hostname

pivot_root . outside
umount -l outside
exec setpriv \
    --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog,-wake_alarm,-mac_admin,-mac_override \
    env -i container=lxc NOTIFY_SOCKET=/run/notify PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
