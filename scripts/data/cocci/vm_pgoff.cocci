// SPDX-License-Identifier: GPL-2.0-only
/// The offset of a VMA is the index into the device's address space. A write to it in
/// a VFIO driver hides the mapping from all zaps by range.

virtual report

@write@
expression vma, e;
assignment operator aop;
position p;
@@
(
 vma->vm_pgoff@p aop e
|
 vma->vm_pgoff@p++
|
 vma->vm_pgoff@p--
|
 ++vma->vm_pgoff@p
|
 --vma->vm_pgoff@p
)

@script:python depends on report@
p << write.p;
@@
coccilib.report.print_report(p[0], "a VFIO driver must not write vm_pgoff")
