package weir;

import pemja.core.PythonInterpreter;
import pemja.core.PythonInterpreterConfig;
import pemja.core.object.PyObject;

/**
 * A Python object inside the task's thread: opened, called and closed through PEMJA.
 *
 * The stage is what {@code open_stage} of a Python module returns. Used by the operators of the
 * velocity job ({@link EngineOperator}) and of the backfill ({@link BackfillFold}).
 */
final class PythonStage {
    private final PythonInterpreter python;
    private final PyObject stage;

    /**
     * Starts the interpreter and opens the stage.
     *
     * @param pythonExecutable path of the Python that PEMJA starts
     * @param module Python module with a function {@code open_stage}
     * @param arguments positional arguments of {@code open_stage}
     */
    PythonStage(String pythonExecutable, String module, Object... arguments) {
        python = new PythonInterpreter(
                PythonInterpreterConfig.newBuilder()
                        .setPythonExec(pythonExecutable)
                        .setExcType(PythonInterpreterConfig.ExecType.MULTI_THREAD)
                        .build());
        boolean isOpen = false;
        try {
            // Not by invoke: PEMJA 0.5.7 releases one reference to the function too many. After the
            // stage was closed, the next stage opened in this process would call freed memory.
            python.set("arguments", arguments);
            python.exec("from " + module + " import open_stage\nstage = open_stage(*arguments)");
            stage = (PyObject) python.get("stage");
            isOpen = true;
        } finally {
            if (!isOpen) {
                python.close();
            }
        }
    }

    /** Calls a method of the stage; its result is bytes or {@code None}. */
    byte[] call(String method, Object... arguments) {
        return (byte[]) stage.invokeMethod(method, arguments);
    }

    /** Closes the stage, then the interpreter. */
    void close() throws Exception {
        stage.invokeMethod("close");
        stage.close();
        python.close();
    }
}
