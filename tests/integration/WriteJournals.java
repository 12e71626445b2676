import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Collectors;

import org.apache.flink.api.common.state.ListState;
import org.apache.flink.runtime.state.KeyedStateBackend;

import weir.JournalChanges;
import weir.Journals;

/**
 * Prints what is written for the changes of a batch, one write a line: its key, how, its entries.
 *
 * Arguments are changes: key, {@code +} or {@code =} to append or to replace, entry.
 */
public final class WriteJournals {
    private static String currentKey;

    private WriteJournals() {
    }

    public static void main(String[] args) throws Exception {
        JournalChanges changes = new JournalChanges(new Journals(state()), 128);
        for (String change : args) {
            int at = change.indexOf('+') >= 0 ? change.indexOf('+') : change.indexOf('=');
            String key = change.substring(0, at);
            byte[] entry = change.substring(at + 1).getBytes(StandardCharsets.UTF_8);
            if (change.charAt(at) == '+') {
                changes.append(key, entry);
            } else {
                changes.replace(key, entry);
            }
        }
        changes.write(backend());
        changes.write(backend());
    }

    @SuppressWarnings("unchecked")
    private static ListState<byte[]> state() {
        return (ListState<byte[]>) proxy(ListState.class, (proxy, method, given) -> {
            List<byte[]> entries = (List<byte[]>) given[0];
            String written = entries.stream()
                    .map(entry -> new String(entry, StandardCharsets.UTF_8))
                    .collect(Collectors.joining(","));
            System.out.println(currentKey + " " + method.getName() + " " + written);
            return null;
        });
    }

    @SuppressWarnings("unchecked")
    private static KeyedStateBackend<String> backend() {
        return (KeyedStateBackend<String>) proxy(KeyedStateBackend.class, (proxy, method, given) -> {
            currentKey = (String) given[0];
            return null;
        });
    }

    private static Object proxy(Class<?> kind, InvocationHandler handler) {
        return Proxy.newProxyInstance(kind.getClassLoader(), new Class<?>[] {kind}, handler);
    }
}
