/*
 * Gives a pseudo terminal what it lacks of a UART, for tests: modem lines, break, parity and data
 * bits, counts. Preloaded into a program, it answers the serial calls on one tty from a small file
 * that the test reads and writes; all other calls pass.
 *
 *   LINEKEEPER_SHIM_TTY    the tty, by any path (compared by device number at each call)
 *   LINEKEEPER_SHIM_STATE  the file, laid out as `struct uart`; "<file>.log" gets a line
 *                          "<bytes written before> <what happened>" for each act of the program
 *
 * Layout and log are read by uart.rs; change both together.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/major.h>
#include <linux/serial.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

struct uart {
    uint32_t features;     /* what this UART has: the test's */
    uint32_t inputs;       /* TIOCM_CTS and so on: the test's */
    uint32_t outputs;      /* TIOCM_DTR, TIOCM_RTS: the program's */
    uint32_t breaking;     /* a break is being sent */
    uint32_t iflag, cflag; /* as the program set them */
    uint32_t speed;
    uint32_t serial_flags; /* ASYNC_* */
    uint32_t closing_wait;
    uint32_t waiting;      /* calls that are in TIOCMIWAIT now */
    uint32_t counts[11];   /* as in struct serial_icounter_struct: the test's */
    uint32_t unused;
    uint64_t written;      /* bytes that the tty took */
};

enum { MODEM = 1, COUNTS = 2, WAIT = 4, BREAK = 8, SERIAL = 16, NUMBER = 32 };

/* The kernel's own struct, which no header offers beside glibc's struct termios. */
struct termios2 {
    uint32_t c_iflag, c_oflag, c_cflag, c_lflag;
    unsigned char c_line, c_cc[19];
    uint32_t c_ispeed, c_ospeed;
};
#define KERNEL_TERMIOS_SIZE 36 /* struct termios2 without its speeds */

/* What a pseudo terminal drops, has off where a UART has it on (HUPCL), or would do to bytes that
   the test has marked already (PARMRK). */
#define OWN_CFLAG ((uint32_t)(CSIZE | PARENB | PARODD | CMSPAR | HUPCL))
#define OWN_IFLAG ((uint32_t)(PARMRK | INPCK))

static volatile struct uart *uart;
static const char *tty;
static int log_fd = -1;

static long sys_ioctl(int fd, unsigned long request, void *arg)
{
    return syscall(SYS_ioctl, fd, request, arg);
}

__attribute__((constructor)) static void start(void)
{
    const char *state = getenv("LINEKEEPER_SHIM_STATE");
    char log[4096];
    tty = getenv("LINEKEEPER_SHIM_TTY");
    if (!tty || !state || snprintf(log, sizeof log, "%s.log", state) >= (int)sizeof log)
        return;
    int fd = open(state, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *at = mmap(NULL, sizeof *uart, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    log_fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (at != MAP_FAILED && log_fd >= 0)
        uart = at;
}

static int is_ours(int fd)
{
    struct stat at, named;
    return uart && fstat(fd, &at) == 0 && S_ISCHR(at.st_mode) && stat(tty, &named) == 0
           && S_ISCHR(named.st_mode) && at.st_rdev == named.st_rdev;
}

static void note(const char *what)
{
    char line[256];
    unsigned long long before = __atomic_load_n(&uart->written, __ATOMIC_SEQ_CST);
    int length = snprintf(line, sizeof line, "%llu %s\n", before, what);
    syscall(SYS_write, log_fd, line, (size_t)length);
}

static int refuse(int code)
{
    errno = code;
    return -1;
}

static int has(uint32_t feature)
{
    return (uart->features & feature) != 0;
}

/*
 * With NUMBER the tty has the device number of a serial port, by which programs tell it from a
 * pseudo terminal. Rust's standard library asks here; is_ours sees the true one.
 */
int statx(int at, const char *path, int flags, unsigned mask, struct statx *found)
{
    struct stat named;
    int result = (int)syscall(SYS_statx, at, path, flags, mask, found);
    if (result == 0 && uart && has(NUMBER) && S_ISCHR(found->stx_mode) && stat(tty, &named) == 0
        && makedev(found->stx_rdev_major, found->stx_rdev_minor) == named.st_rdev)
        found->stx_rdev_major = TTY_MAJOR;
    return result;
}

/* --- settings --- */

static void note_settings(uint32_t iflag, uint32_t cflag, uint32_t speed)
{
    char what[128];
    if (uart->iflag == iflag && uart->cflag == cflag && uart->speed == speed)
        return;
    uart->iflag = iflag;
    uart->cflag = cflag;
    uart->speed = speed;
    uint32_t size = cflag & CSIZE;
    char parity = !(cflag & PARENB) ? 'N'
                  : (cflag & CMSPAR) ? ((cflag & PARODD) ? 'M' : 'S')
                                     : ((cflag & PARODD) ? 'O' : 'E');
    snprintf(what, sizeof what, "settings %u,%d%c%d%s%s%s%s", speed,
             size == CS5 ? 5 : size == CS6 ? 6 : size == CS7 ? 7 : 8, parity,
             (cflag & CSTOPB) ? 2 : 1, (cflag & CRTSCTS) ? " rtscts" : "",
             (iflag & IXON) ? " xonxoff" : "", (cflag & HUPCL) ? " hupcl" : "",
             (iflag & PARMRK) ? " parmrk" : "");
    note(what);
}

/* After the kernel took what it can: the rest is kept here, and the whole is noted. */
static void settings_taken(int fd, uint32_t iflag, uint32_t cflag)
{
    struct termios2 now;
    if (sys_ioctl(fd, TCGETS2, &now) == 0)
        note_settings((now.c_iflag & ~OWN_IFLAG) | (iflag & OWN_IFLAG),
                      (now.c_cflag & ~OWN_CFLAG) | (cflag & OWN_CFLAG), now.c_ospeed);
}

/* The flags of any struct termios as the program shall see them. */
#define SHOW(termios)                                                                              \
    ((termios)->c_iflag = ((termios)->c_iflag & ~OWN_IFLAG) | (uart->iflag & OWN_IFLAG),          \
     (termios)->c_cflag = ((termios)->c_cflag & ~OWN_CFLAG) | (uart->cflag & OWN_CFLAG))

/* The flags of any struct termios as the pseudo terminal can take them. */
#define HIDE(termios)                                                                              \
    ((termios)->c_iflag &= ~OWN_IFLAG,                                                             \
     (termios)->c_cflag = ((termios)->c_cflag & ~OWN_CFLAG) | CS8)

static int get_settings(int fd, unsigned long request, struct termios2 *termios)
{
    int result = (int)sys_ioctl(fd, request, termios);
    if (result == 0)
        SHOW(termios);
    return result;
}

static int set_settings(int fd, unsigned long request, const void *wanted, size_t size)
{
    struct termios2 termios;
    memcpy(&termios, wanted, size);
    uint32_t iflag = termios.c_iflag, cflag = termios.c_cflag;
    HIDE(&termios);
    int result = (int)sys_ioctl(fd, request, &termios);
    if (result == 0)
        settings_taken(fd, iflag, cflag);
    return result;
}

/* glibc's own two call the kernel directly, past the ioctl below. */
int tcgetattr(int fd, struct termios *termios)
{
    int (*real)(int, struct termios *) = dlsym(RTLD_NEXT, "tcgetattr");
    int result = real(fd, termios);
    if (result == 0 && is_ours(fd))
        SHOW(termios);
    return result;
}

int tcsetattr(int fd, int when, const struct termios *wanted)
{
    int (*real)(int, int, const struct termios *) = dlsym(RTLD_NEXT, "tcsetattr");
    if (!is_ours(fd))
        return real(fd, when, wanted);
    struct termios termios = *wanted;
    HIDE(&termios);
    int result = real(fd, when, &termios);
    if (result == 0)
        settings_taken(fd, wanted->c_iflag, wanted->c_cflag);
    return result;
}

int tcflush(int fd, int queue)
{
    if (is_ours(fd))
        note(queue == TCIFLUSH ? "flush input" : queue == TCOFLUSH ? "flush output" : "flush both");
    return (int)sys_ioctl(fd, TCFLSH, (void *)(long)queue);
}

/* --- wires --- */

static int set_outputs(uint32_t outputs)
{
    char what[32];
    uart->outputs = outputs & (TIOCM_DTR | TIOCM_RTS);
    snprintf(what, sizeof what, "dtr=%d rts=%d", !!(outputs & TIOCM_DTR), !!(outputs & TIOCM_RTS));
    note(what);
    return 0;
}

static int set_break(int on)
{
    if (!has(BREAK))
        return refuse(ENOTTY);
    uart->breaking = (uint32_t)on;
    note(on ? "break on" : "break off");
    return 0;
}

static int inputs_changed(uint32_t mask, uint32_t inputs, const uint32_t *counts)
{
    int changed = (uart->inputs & mask) != inputs;
    for (int i = 0; i < 4; i++)
        changed |= counts[i] != uart->counts[i];
    return changed;
}

/*
 * As in the kernel, a signal ends the wait wherever it comes, and what becomes of the descriptor
 * meanwhile does not: a wait holds on to the open file.
 */
static int wait_for_change(int fd, uint32_t mask)
{
    uint32_t inputs = uart->inputs & mask, counts[4];
    for (int i = 0; i < 4; i++)
        counts[i] = uart->counts[i];
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    __atomic_add_fetch(&uart->waiting, 1, __ATOMIC_SEQ_CST);
    int code = is_ours(fd) ? 0 : EIO;
    while (code == 0 && !inputs_changed(mask, inputs, counts)) {
        struct timespec tick = {0, 1000000};
        if (ppoll(NULL, 0, &tick, &before) != 0)
            code = EINTR;
    }
    __atomic_sub_fetch(&uart->waiting, 1, __ATOMIC_SEQ_CST);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code ? refuse(code) : 0;
}

static int serial(unsigned long request, struct serial_struct *serial)
{
    char what[64];
    if (!has(SERIAL))
        return refuse(ENOTTY);
    if (request == TIOCGSERIAL) {
        memset(serial, 0, sizeof *serial);
        serial->flags = (int)uart->serial_flags;
        serial->closing_wait = (unsigned short)uart->closing_wait;
        return 0;
    }
    uart->serial_flags = (uint32_t)serial->flags;
    uart->closing_wait = serial->closing_wait;
    snprintf(what, sizeof what, "serial low_latency=%d closing_wait=%u",
             !!(serial->flags & ASYNC_LOW_LATENCY), serial->closing_wait);
    note(what);
    return 0;
}

static int modem(int fd, unsigned long request, void *arg)
{
    if (!has(request == TIOCMIWAIT ? WAIT : MODEM))
        return refuse(ENOTTY);
    switch (request) {
    case TIOCMGET:
        *(uint32_t *)arg = uart->inputs | uart->outputs;
        return 0;
    case TIOCMSET:
        return set_outputs(*(uint32_t *)arg);
    case TIOCMBIS:
        return set_outputs(uart->outputs | *(uint32_t *)arg);
    case TIOCMBIC:
        return set_outputs(uart->outputs & ~*(uint32_t *)arg);
    default:
        return wait_for_change(fd, (uint32_t)(uintptr_t)arg);
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (!is_ours(fd))
        return (int)sys_ioctl(fd, request, arg);
    switch (request) {
    case TCGETS:
    case TCGETS2:
        return get_settings(fd, request, arg);
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        return set_settings(fd, request, arg, KERNEL_TERMIOS_SIZE);
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
        return set_settings(fd, request, arg, sizeof(struct termios2));
    case TIOCMGET:
    case TIOCMSET:
    case TIOCMBIS:
    case TIOCMBIC:
    case TIOCMIWAIT:
        return modem(fd, request, arg);
    case TIOCSBRK:
        return set_break(1);
    case TIOCCBRK:
        return set_break(0);
    case TIOCGICOUNT:
        if (!has(COUNTS))
            return refuse(ENOTTY);
        memset(arg, 0, sizeof(struct serial_icounter_struct));
        for (int i = 0; i < 11; i++)
            ((int *)arg)[i] = (int)uart->counts[i];
        return 0;
    case TIOCGSERIAL:
    case TIOCSSERIAL:
        return serial(request, arg);
    default:
        return (int)sys_ioctl(fd, request, arg);
    }
}

/* --- bytes --- */

ssize_t write(int fd, const void *bytes, size_t count)
{
    ssize_t taken = syscall(SYS_write, fd, bytes, count);
    if (taken > 0 && is_ours(fd))
        __atomic_add_fetch(&uart->written, (uint64_t)taken, __ATOMIC_SEQ_CST);
    return taken;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t taken = syscall(SYS_writev, fd, parts, count);
    if (taken > 0 && is_ours(fd))
        __atomic_add_fetch(&uart->written, (uint64_t)taken, __ATOMIC_SEQ_CST);
    return taken;
}
