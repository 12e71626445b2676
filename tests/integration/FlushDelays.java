import weir.FlushDelay;

/** Prints how long batches wait, ms: arguments are delay, idle delay, then elements of each batch. */
public final class FlushDelays {
    private FlushDelays() {
    }

    public static void main(String[] args) {
        FlushDelay delay = new FlushDelay(Integer.parseInt(args[0]), Integer.parseInt(args[1]));
        for (int at = 2; at < args.length; at++) {
            delay.start(0);
            System.out.println(delay.leftNs(0, true) / 1e6 + " " + delay.leftNs(0, false) / 1e6);
            delay.end(Integer.parseInt(args[at]));
        }
    }
}
