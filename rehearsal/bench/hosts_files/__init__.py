"""Database names in the hosts files of many hosts, led elsewhere by pgleap, Ansible, pyinfra and plain ssh in turns."""
