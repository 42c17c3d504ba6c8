/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resource table of remoteproc (Linux include/linux/remoteproc.h) of a hub with one device: a
 * carveout for the driver's buffers, a trace buffer, and the vdev with two vrings; the vdev's config
 * space follows. All fields are 32-bit and little-endian, so the struct is the layout.
 *
 * `ver` is stored last when the table is filled at run time: 1 says that the rest is valid.
 */
#ifndef SENSOR_HUB_RESOURCE_TABLE_H
#define SENSOR_HUB_RESOURCE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define RESOURCE_TABLE_VERSION 1u
#define RESOURCE_TYPE_CARVEOUT 0u
#define RESOURCE_TYPE_TRACE 2u
#define RESOURCE_TYPE_VDEV 3u
/* A da or pa that the driver side chooses and writes back. */
#define RESOURCE_ADDRESS_ANY 0xFFFFFFFFu

#define RESOURCE_NOTIFY_ID_VDEV 0u
#define RESOURCE_NOTIFY_ID_VRING0 1u
#define RESOURCE_NOTIFY_ID_VRING1 2u

/* vdev status bits, as in virtio. */
#define VDEV_STATUS_ACKNOWLEDGE 0x01u
#define VDEV_STATUS_DRIVER 0x02u
#define VDEV_STATUS_DRIVER_OK 0x04u
#define VDEV_STATUS_NEEDS_RESET 0x40u
#define VDEV_STATUS_FAILED 0x80u

struct resource_carveout {
    uint32_t type;
    uint32_t da;
    uint32_t pa;
    uint32_t len;
    uint32_t flags;
    uint32_t reserved;
    char name[32];
};

struct resource_trace {
    uint32_t type;
    uint32_t da;
    uint32_t len;
    uint32_t reserved;
    char name[32];
};

struct resource_vring {
    uint32_t da;
    uint32_t align;
    uint32_t num;
    uint32_t notifyid;
    uint32_t pa;
};

struct resource_vdev {
    uint32_t type;
    uint32_t id;
    uint32_t notifyid;
    uint32_t dfeatures; /* what the device offers */
    uint32_t gfeatures; /* what the driver took */
    uint32_t config_len;
    uint8_t status; /* written by the driver */
    uint8_t num_of_vrings;
    uint8_t reserved[2];
    struct resource_vring vrings[2];
    /* config_len bytes of config space follow */
};

#define RESOURCE_TABLE_ENTRIES 3u

struct hub_resource_table {
    uint32_t ver;
    uint32_t num;
    uint32_t reserved[2];
    uint32_t offset[RESOURCE_TABLE_ENTRIES];
    struct resource_carveout buffers;
    struct resource_trace trace;
    struct resource_vdev vdev;
};

_Static_assert(sizeof(struct hub_resource_table) == 200, "the resource table has no padding");

/* What differs between two hubs; 32-bit, so that it also works as a static initialiser. */
#define HUB_RESOURCE_TABLE(version, device_id, offered, config_bytes, buffers_da, buffers_len, trace_da, trace_len,  \
                           vring0_da, vring0_num, vring1_da, vring1_num, vring_align)                                \
    {                                                                                                                \
        .ver = (version), .num = RESOURCE_TABLE_ENTRIES,                                                             \
        .offset = {offsetof(struct hub_resource_table, buffers), offsetof(struct hub_resource_table, trace),         \
                   offsetof(struct hub_resource_table, vdev)},                                                       \
        .buffers = {.type = RESOURCE_TYPE_CARVEOUT,                                                                  \
                    .da = (buffers_da),                                                                              \
                    .pa = RESOURCE_ADDRESS_ANY,                                                                      \
                    .len = (buffers_len),                                                                            \
                    .name = "vdev0buffer"},                                                                          \
        .trace = {.type = RESOURCE_TYPE_TRACE, .da = (trace_da), .len = (trace_len), .name = "trace"},               \
        .vdev = {.type = RESOURCE_TYPE_VDEV,                                                                         \
                 .id = (device_id),                                                                                  \
                 .notifyid = RESOURCE_NOTIFY_ID_VDEV,                                                                \
                 .dfeatures = (offered),                                                                             \
                 .config_len = (config_bytes),                                                                       \
                 .num_of_vrings = 2,                                                                                 \
                 .vrings = {{(vring0_da), (vring_align), (vring0_num), RESOURCE_NOTIFY_ID_VRING0, 0},                \
                            {(vring1_da), (vring_align), (vring1_num), RESOURCE_NOTIFY_ID_VRING1, 0}}},              \
    }

/* Bytes of a vring of `num` descriptors whose used ring starts at a multiple of `align`. */
#define VRING_USED_OFFSET(num, align) ((16u * (num) + 2u * (num) + 6u + (align)-1u) / (align) * (align))
#define VRING_BYTES(num, align) (VRING_USED_OFFSET(num, align) + 8u * (num) + 6u)

#endif
