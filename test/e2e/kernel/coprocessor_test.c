// SPDX-License-Identifier: GPL-2.0-only
/*
 * A co-processor for tests of rproc-gpio, without hardware: what a board's drivers give to user space, driven by hand.
 *
 * /sys/class/remoteproc/ gets two remote processors, in this order when no other driver has any:
 *   name test-hub    offline until it is started; loads ELF firmware into the shared memory
 *   name test-early  detached: runs since before Linux did, can be attached to and detached from
 * /dev/uioN, name test-hub: map 0 is test-hub's memory, map 1 a page of doorbell registers; and an interrupt
 * debugfs coprocessor-test/:
 *   crash, crash-early  write: that remote processor crashes, as a watchdog tells it
 *   interrupt           write: the co-processor rings; kept while the interrupt is off
 *   memory, doorbell    what the co-processor sees of map 0 and map 1
 *   starts              how often the firmware of test-hub was started
 *   unplug              write: both remote processors go away, as when their driver is unbound
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/elf.h>
#include <linux/firmware.h>
#include <linux/gfp.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irq_sim.h>
#include <linux/irqdomain.h>
#include <linux/platform_device.h>
#include <linux/remoteproc.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uio_driver.h>

#include "remoteproc_internal.h"

/* Where the co-processor sees its memory, and how much there is. The vrings that the kernel drives take its end. */
#define MEMORY_DEVICE_ADDRESS 0x10000000
#define MEMORY_SIZE (256 * 1024)
#define VRING_SIZE (16 * 1024)
#define VRING_COUNT 2

struct test_hub {
	struct platform_device *pdev;
	void *memory;
	void *doorbell;
	struct rproc *hub;
	struct rproc *early;
	struct uio_info uio;
	struct irq_domain *irq_domain;
	unsigned int irq;
	/* Guards the two below. */
	spinlock_t lock;
	bool irq_is_off;
	/* Rung while the interrupt was off. */
	bool irq_is_pending;
	struct debugfs_blob_wrapper memory_blob;
	struct debugfs_blob_wrapper doorbell_blob;
	u32 starts;
	bool is_unplugged;
	struct mutex unplug_lock;
};

static struct test_hub hub;

/* ---- Remote processors */

static int test_start(struct rproc *rproc)
{
	hub.starts++;
	return 0;
}

static int test_nothing(struct rproc *rproc)
{
	return 0;
}

static void test_kick(struct rproc *rproc, int vqid)
{
}

static void *test_da_to_va(struct rproc *rproc, u64 da, size_t len, bool *is_iomem)
{
	if (da < MEMORY_DEVICE_ADDRESS || len > MEMORY_SIZE ||
	    da - MEMORY_DEVICE_ADDRESS > MEMORY_SIZE - len)
		return NULL;
	return hub.memory + (da - MEMORY_DEVICE_ADDRESS);
}

/* Firmware may do without a table for the kernel: user space drives the vrings then. */
static int test_parse_fw(struct rproc *rproc, const struct firmware *fw)
{
	int index, ret;

	ret = rproc_elf_load_rsc_table(rproc, fw);
	if (ret == -EINVAL) {
		dev_info(&rproc->dev, "no resource table for the kernel\n");
		return 0;
	}
	if (ret)
		return ret;
	for (index = 0; index < VRING_COUNT; index++) {
		u32 offset = MEMORY_SIZE - (VRING_COUNT - index) * VRING_SIZE;
		void *va = hub.memory + offset;
		struct rproc_mem_entry *carveout;

		carveout = rproc_mem_entry_init(rproc->dev.parent, va, virt_to_phys(va), VRING_SIZE,
						MEMORY_DEVICE_ADDRESS + offset, NULL, NULL,
						"vdev0vring%d", index);
		if (!carveout)
			return -ENOMEM;
		rproc_add_carveout(rproc, carveout);
	}
	return 0;
}

static const struct rproc_ops hub_ops = {
	.start = test_start,
	.stop = test_nothing,
	.kick = test_kick,
	.da_to_va = test_da_to_va,
	.parse_fw = test_parse_fw,
	.load = rproc_elf_load_segments,
	.find_loaded_rsc_table = rproc_elf_find_loaded_rsc_table,
	.sanity_check = rproc_elf_sanity_check,
	.get_boot_addr = rproc_elf_get_boot_addr,
};

static const struct rproc_ops early_ops = {
	.start = test_nothing,
	.stop = test_nothing,
	.attach = test_nothing,
	.detach = test_nothing,
	.kick = test_kick,
};

static struct rproc *test_add_rproc(const char *name, const struct rproc_ops *ops, bool is_early)
{
	struct rproc *rproc;
	int ret;

	rproc = rproc_alloc(&hub.pdev->dev, name, ops, "test-hub.elf", 0);
	if (!rproc)
		return ERR_PTR(-ENOMEM);
	rproc->auto_boot = false;
	if (is_early) {
		rproc->state = RPROC_DETACHED;
		rproc_set_feature(rproc, RPROC_FEAT_ATTACH_ON_RECOVERY);
	}
	ret = rproc_add(rproc);
	if (ret) {
		rproc_free(rproc);
		return ERR_PTR(ret);
	}
	return rproc;
}

static void test_remove_rproc(struct rproc *rproc)
{
	rproc_del(rproc);
	rproc_free(rproc);
}

/* ---- UIO device; off and on as uio_pdrv_genirq has it, for an interrupt that stays until it was served */

static void test_ring(void)
{
	unsigned long flags;
	bool is_off;

	spin_lock_irqsave(&hub.lock, flags);
	is_off = hub.irq_is_off;
	if (is_off)
		hub.irq_is_pending = true;
	spin_unlock_irqrestore(&hub.lock, flags);
	if (!is_off)
		irq_set_irqchip_state(hub.irq, IRQCHIP_STATE_PENDING, true);
}

static irqreturn_t test_interrupt(int irq, struct uio_info *info)
{
	spin_lock(&hub.lock);
	if (!hub.irq_is_off) {
		hub.irq_is_off = true;
		disable_irq_nosync(irq);
	}
	spin_unlock(&hub.lock);
	return IRQ_HANDLED;
}

static int test_irqcontrol(struct uio_info *info, s32 irq_on)
{
	unsigned long flags;
	bool is_pending = false;

	spin_lock_irqsave(&hub.lock, flags);
	if (irq_on && hub.irq_is_off) {
		hub.irq_is_off = false;
		is_pending = hub.irq_is_pending;
		hub.irq_is_pending = false;
		enable_irq(hub.irq);
	} else if (!irq_on && !hub.irq_is_off) {
		hub.irq_is_off = true;
		disable_irq_nosync(hub.irq);
	}
	spin_unlock_irqrestore(&hub.lock, flags);
	if (is_pending)
		irq_set_irqchip_state(hub.irq, IRQCHIP_STATE_PENDING, true);
	return 0;
}

static int test_add_uio(void)
{
	struct uio_info *uio = &hub.uio;

	hub.irq_domain = irq_domain_create_sim(NULL, 1);
	if (IS_ERR(hub.irq_domain))
		return PTR_ERR(hub.irq_domain);
	hub.irq = irq_create_mapping(hub.irq_domain, 0);
	if (!hub.irq)
		return -ENOMEM;
	uio->name = "test-hub";
	uio->version = "1";
	uio->irq = hub.irq;
	uio->handler = test_interrupt;
	uio->irqcontrol = test_irqcontrol;
	uio->mem[0].name = "memory";
	uio->mem[0].addr = (phys_addr_t)(unsigned long)hub.memory;
	uio->mem[0].size = MEMORY_SIZE;
	uio->mem[0].memtype = UIO_MEM_LOGICAL;
	uio->mem[1].name = "doorbell";
	uio->mem[1].addr = (phys_addr_t)(unsigned long)hub.doorbell;
	uio->mem[1].size = PAGE_SIZE;
	uio->mem[1].memtype = UIO_MEM_LOGICAL;
	return uio_register_device(&hub.pdev->dev, uio);
}

/* ---- What a test does to it */

static int test_crash_set(void *data, u64 value)
{
	int ret = 0;

	mutex_lock(&hub.unplug_lock);
	if (hub.is_unplugged)
		ret = -ENODEV;
	else
		rproc_report_crash(*(struct rproc **)data, RPROC_WATCHDOG);
	mutex_unlock(&hub.unplug_lock);
	return ret;
}
DEFINE_DEBUGFS_ATTRIBUTE(test_crash, NULL, test_crash_set, "%llu\n");

static int test_interrupt_set(void *data, u64 value)
{
	test_ring();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(test_interrupt_file, NULL, test_interrupt_set, "%llu\n");

static int test_unplug_set(void *data, u64 value)
{
	mutex_lock(&hub.unplug_lock);
	if (!hub.is_unplugged) {
		hub.is_unplugged = true;
		test_remove_rproc(hub.hub);
		test_remove_rproc(hub.early);
	}
	mutex_unlock(&hub.unplug_lock);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(test_unplug, NULL, test_unplug_set, "%llu\n");

static void test_add_debugfs(void)
{
	struct dentry *folder = debugfs_create_dir("coprocessor-test", NULL);

	hub.memory_blob = (struct debugfs_blob_wrapper){ hub.memory, MEMORY_SIZE };
	hub.doorbell_blob = (struct debugfs_blob_wrapper){ hub.doorbell, PAGE_SIZE };
	debugfs_create_file_unsafe("crash", 0200, folder, &hub.hub, &test_crash);
	debugfs_create_file_unsafe("crash-early", 0200, folder, &hub.early, &test_crash);
	debugfs_create_file_unsafe("interrupt", 0200, folder, NULL, &test_interrupt_file);
	debugfs_create_file_unsafe("unplug", 0200, folder, NULL, &test_unplug);
	debugfs_create_blob("memory", 0400, folder, &hub.memory_blob);
	debugfs_create_blob("doorbell", 0400, folder, &hub.doorbell_blob);
	debugfs_create_u32("starts", 0400, folder, &hub.starts);
}

/* Built in and never removed: there is nothing to undo but a kernel that could not set it up, and that one is of no use. */
static int __init coprocessor_test_init(void)
{
	int ret;

	spin_lock_init(&hub.lock);
	mutex_init(&hub.unplug_lock);
	hub.memory = alloc_pages_exact(MEMORY_SIZE, GFP_KERNEL | __GFP_ZERO);
	hub.doorbell = alloc_pages_exact(PAGE_SIZE, GFP_KERNEL | __GFP_ZERO);
	if (!hub.memory || !hub.doorbell)
		return -ENOMEM;
	hub.pdev = platform_device_register_simple("coprocessor-test", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(hub.pdev))
		return PTR_ERR(hub.pdev);
	ret = dma_coerce_mask_and_coherent(&hub.pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	hub.hub = test_add_rproc("test-hub", &hub_ops, false);
	if (IS_ERR(hub.hub))
		return PTR_ERR(hub.hub);
	hub.early = test_add_rproc("test-early", &early_ops, true);
	if (IS_ERR(hub.early))
		return PTR_ERR(hub.early);
	ret = test_add_uio();
	if (ret)
		return ret;
	test_add_debugfs();
	pr_info("ready\n");
	return 0;
}
late_initcall(coprocessor_test_init);
