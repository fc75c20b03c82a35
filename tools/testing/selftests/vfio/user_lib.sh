# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034
#
# The user of the tests: without a capability and a group, but owner of the group
# files, by "bind.sh -u nobody". These words go in front of a command.
as_user=(setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all
	--bounding-set=-all --)
